package config

import "strings"

// TextfileDirectory is the folder that Debian's node_exporter reads; upstream
// has no default.
const TextfileDirectory = "/var/lib/prometheus/node-exporter"

// Metrics says where the figures for monitoring go.
type Metrics struct {
	Textfile string   // a .prom file; empty: none
	Interval Duration // between two looks for it alone; 0: none
}

func defaultMetrics() Metrics { return Metrics{Textfile: TextfileDirectory + "/dubnium.prom"} }

func metricsKeys() []definition {
	return []definition{
		{path: "metrics.textfile", at: func(c *Config) any { return &c.Metrics.Textfile }, empty: true, check: wrongTextfile, allowed: "an absolute path that ends in .prom", example: `"/var/lib/node_exporter/textfile/dubnium.prom"`, doc: "The file in Prometheus' text format for node_exporter (--collector.textfile.directory is its folder). It is replaced at the end of every transition and by mode-observe.service. Nothing is written while its folder does not exist, so the default does nothing on a machine without Debian's node_exporter. The units let the controller write in this folder alone: systemctl daemon-reload after a change. Empty writes nothing."},
		{path: "metrics.interval", at: func(c *Config) any { return &c.Metrics.Interval }, zero: true, example: `"1m"`, doc: "How often mode-observe.timer looks at the machine to write the file again. 0s never does: the file is then as old as the last transition, or the boot, which dubnium_observation_timestamp_seconds tells. A look costs about as much as observe-current."},
	}
}

func wrongTextfile(s string) string {
	switch wrong := wrongPath(s); {
	case wrong != "":
		return wrong
	case !strings.HasSuffix(s, ".prom") || strings.HasSuffix(s, "/.prom"):
		return "does not end in .prom, the only files that node_exporter reads"
	}
	return ""
}
