package units

import (
	"fmt"

	"github.com/ryjen/dubnium/pkg/config"
)

// Complete is everything that a machine with this configuration has where no
// generator runs at boot, as on NixOS: what Render gives, and the drop-ins for
// units of others.
func Complete(cfg config.Config, p Paths) ([]File, error) {
	files, err := Render(cfg, p)
	if err != nil {
		return nil, err
	}
	for _, u := range dropIns(cfg) {
		u.Comments = append([]string{Header}, u.Comments...)
		text, err := u.Render()
		if err != nil {
			return nil, fmt.Errorf("render the drop-ins: %w", err)
		}
		files = append(files, File{Path: u.Name, Text: text})
	}
	return files, nil
}

// Install lists the targets that want a unit once it is enabled, for each unit
// with an [Install] section, in any configuration.
func Install() map[string][]string {
	all := map[string][]string{}
	for _, u := range All(config.Default(), Paths{}) {
		if targets := wantedBy(u); targets != nil {
			all[u.Name] = targets
		}
	}
	return all
}
