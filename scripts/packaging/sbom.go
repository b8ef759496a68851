package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The parts of CycloneDX 1.5 that say something of Go programs.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
)

// self is our own module.
const self = "github.com/ryjen/dubnium"

// sbom prints the programs, with their digests, and the modules that each
// holds, as the linker recorded them. The serial number is made from the rest.
func sbom(out io.Writer, version string, programs []string) error {
	modules, goVersion, err := linked(programs)
	if err != nil {
		return err
	}
	now, err := epoch()
	if err != nil {
		return err
	}
	golang := strings.TrimPrefix(goVersion, "go")
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Metadata: metadata{
		Timestamp: now.Format(time.RFC3339),
		Component: component{Type: "application", Ref: purl(self, version), Name: "dubnium", Version: version, PURL: purl(self, version)},
	}}
	std := component{Type: "library", Ref: purl("stdlib", golang), Name: "stdlib", Version: golang, PURL: purl("stdlib", golang)}
	b.Components = append(b.Components, std)
	holds := map[string][]string{}
	for _, m := range modules {
		ref := purl(m.path, m.version)
		b.Components = append(b.Components, component{
			Type: "library", Ref: ref, Name: m.path, Version: m.version, PURL: ref,
			Properties: []property{{"go:sum", m.sum}},
		})
		for _, p := range m.programs {
			holds[p] = append(holds[p], ref)
		}
	}
	var names []string
	for _, file := range programs {
		name := filepath.Base(file)
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		b.Components = append(b.Components, component{
			Type: "application", Ref: "program:" + name, Name: name, Version: version,
			Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		})
		names = append(names, "program:"+name)
		b.Dependencies = append(b.Dependencies, dependency{"program:" + name, append([]string{std.Ref}, holds[name]...)})
	}
	b.Dependencies = append(b.Dependencies, dependency{b.Metadata.Component.Ref, names})
	draft, err := json.Marshal(b)
	if err != nil {
		return err
	}
	b.Serial = serial(draft)
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", data)
	return err
}

func purl(path, version string) string { return "pkg:golang/" + path + "@" + version }

// serial is a UUID (version 8, RFC 9562) of the content.
func serial(content []byte) string {
	id := sha256.Sum256(content)
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
