package config

import (
	"strings"
	"testing"
)

func TestMemoryValues(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"all":                   {"[memory.database]\ndsn = \"postgresql:///m?host=/run/postgresql\"\n[memory.redis]\nurl = \"unix:///run/redis.sock\"\n[memory.embeddings]\nprovider = \"openai\"\nurl = \"https://gpu:8443/v1\"", ""},
		"keywords":              {"[memory.database]\ndsn = \"host=/run/postgresql dbname=m\"", ""},
		"any address":           {"[memory.api]\nhost = \"0.0.0.0\"", "is not this machine alone"},
		"a network's address":   {"[memory.api]\nhost = \"192.168.1.2\"", "is not this machine alone"},
		"a name":                {"[memory.api]\nhost = \"localhost\"", "is not this machine alone"},
		"password in a URL":     {"[memory.database]\ndsn = \"postgresql://u:hunter2@db/m\"", "memory.database.dsnFile"},
		"password in a query":   {"[memory.database]\ndsn = \"postgresql://u@db/m?password=hunter2\"", "memory.database.dsnFile"},
		"password in keywords":  {"[memory.database]\ndsn = \"host=db password=hunter2\"", "memory.database.dsnFile"},
		"no connection string":  {"[memory.database]\ndsn = \"db\"", "KEYWORD=VALUE"},
		"another database":      {"[memory.database]\ndsn = \"mysql://db/m\"", "postgresql://"},
		"two databases":         {"[memory.database]\ndsn = \"host=db\"\ndsnFile = \"/run/dsn\"", "leave one of them out"},
		"redis without scheme":  {"[memory.redis]\nurl = \"localhost:6379\"", "redis://"},
		"redis with a password": {"[memory.redis]\nurl = \"redis://:hunter2@127.0.0.1:6379\"", "readable by everyone"},
		"embeddings by file":    {"[memory.embeddings]\nurl = \"file:///etc/passwd\"", "http or https"},
		"token in the URL":      {"[memory.embeddings]\nurl = \"https://me:hunter2@gpu/v1\"", "apiKeyFile"},
		"retention":             {"[memory.retention]\ndefaultTtlDays = -1", "memory.retention.defaultTtlDays"},
		"provider":              {"[memory.embeddings]\nprovider = \"bert\"", "builtin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.text))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%v tells the password", err)
			}
		})
	}
}
