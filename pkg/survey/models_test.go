package survey

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/tests/hosts"
)

// TestModelsAreTold holds that an observation of compute has the models that a
// healthy vLLM serves, and that one which keeps them to itself is healthy all
// the same.
func TestModelsAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		health, models int
		want           []string
		failed         string
	}{
		"two":     {200, 200, []string{"coder", "coder-sql"}, ""},
		"a key":   {200, 401, nil, "/v1/models was answered with status 401"},
		"loading": {503, 200, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/health" {
					w.WriteHeader(tt.health)
					return
				}
				w.WriteHeader(tt.models)
				fmt.Fprint(w, `{"object":"list","data":[{"id":"coder"},{"id":"coder-sql"}]}`)
			}))
			t.Cleanup(s.Close)
			cfg := config.Default()
			cfg.VLLM.Enable, cfg.VLLM.Port = true, port(t, s.Listener)
			v := Look(t.Context(), hosts.Start(t, "compute").Root(), cfg).Evidence.VLLM.Value
			if diff := cmp.Diff(tt.want, v.Models); diff != "" || !strings.Contains(v.ModelsError, tt.failed) || (v.ModelsError == "") != (tt.failed == "") {
				t.Errorf("%q (-want +got):\n%s", v.ModelsError, diff)
			}
			if healthy := v.Health == evidence.Healthy; healthy != (tt.health == 200) {
				t.Errorf("vLLM is %s", v.Health)
			}
		})
	}
}
