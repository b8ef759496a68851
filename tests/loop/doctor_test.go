package loop

import (
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// diagnosis is what mode doctor says, as far as these tests look.
type diagnosis struct {
	Healthy  bool `json:"healthy"`
	Findings []struct{ Area, Grade, What, Message, Remedy string }
}

func (b box) doctor(code exitcode.Code) diagnosis {
	b.t.Helper()
	var d diagnosis
	decode(b.t, b.run(code, "mode", "doctor", "--json").Stdout, &d)
	return d
}

// TestDoctor breaks one thing after the other on a machine where all is well:
// each is found and named with a remedy, and is gone when it is mended.
func TestDoctor(t *testing.T) {
	b := boot(t)
	b.Eventually(t, 20e9, func() error { _, err := b.ReadFile("/run/mode-controller/current"); return err })
	if d := b.doctor(0); !d.Healthy {
		t.Errorf("where all is well: %+v", d.Findings)
	} else {
		for _, f := range d.Findings {
			if f.Grade != "ok" {
				t.Errorf("where all is well: %+v", f)
			}
		}
	}
	for _, tt := range []struct {
		name        string
		spoil, mend string
		area, says  string
		grade       string
	}{
		{"a guard is missing", "mv /usr/bin/check_audio_idle /root/", "mv /root/check_audio_idle /usr/bin/", "installation", "check_audio_idle", "fault"},
		{"a program is another version", "mv /usr/bin/check_audio_idle /root/; printf '#!/bin/sh\necho check_audio_idle 0.0.1\n' >/usr/bin/check_audio_idle; chmod 755 /usr/bin/check_audio_idle", "mv /root/check_audio_idle /usr/bin/", "installation", "it is version 0.0.1", "fault"},
		{"a program that anybody can write", "chmod 777 /usr/bin/reconcile", "chmod 755 /usr/bin/reconcile", "installation", "can be written by others", "fault"},
		{"a target is masked", "systemctl mask --runtime compute.target", "systemctl unmask --runtime compute.target", "units", "masked", "fault"},
		{"a drop-in breaks the contract", "mkdir -p /run/systemd/system/mode-controller@.service.d; printf '[Service]\nKillMode=none\n' >/run/systemd/system/mode-controller@.service.d/x.conf; systemctl daemon-reload", "rm -r /run/systemd/system/mode-controller@.service.d; systemctl daemon-reload", "units", "KillMode is none, and has to be mixed", "fault"},
		{"a file changed since", "printf '\n# x\n' >>/usr/lib/systemd/system/mode-boot.service; touch -d '+1 hour' /usr/lib/systemd/system/mode-boot.service", "systemctl daemon-reload", "units", "its file has changed", "warning"},
		{"no group", "groupdel dubnium", "groupadd --system dubnium", "operators", "there is no group dubnium", "fault"},
		{"no rule", "mv /usr/share/polkit-1/rules.d/50-dubnium.rules /root/", "mv /root/50-dubnium.rules /usr/share/polkit-1/rules.d/", "operators", "may not ask for a mode", "fault"},
		{"another rule", "cp /usr/share/polkit-1/rules.d/50-dubnium.rules /etc/polkit-1/rules.d/; echo '// more' >>/etc/polkit-1/rules.d/50-dubnium.rules", "rm /etc/polkit-1/rules.d/50-dubnium.rules", "operators", "is not the rule of this version", "fault"},
		{"a state folder of a person", "chown guest /run/mode-controller", "chown root /run/mode-controller", "permissions", "not to root", "fault"},
		{"a state file that anybody can write", "chmod 666 /run/mode-controller/desired", "chmod 644 /run/mode-controller/desired", "permissions", "others than root can write it", "fault"},
		{"a word that is no mode", "echo rubbish >/run/mode-controller/desired", "echo desktop >/run/mode-controller/desired", "state", `unknown mode "rubbish"`, "fault"},
		{"a garbled document", "echo x >/run/mode-controller/last-guards.json", "rm /run/mode-controller/last-guards.json", "state", "not a document that Dubnium wrote", "fault"},
		{"a torn history", `printf '{"torn' >>/var/lib/mode-controller/events.jsonl`, "rm /var/lib/mode-controller/events.jsonl", "history", "1 of its lines are torn", "warning"},
		{"no history folder", "mv /var/lib/mode-controller /root/", "mv /root/mode-controller /var/lib/", "history", "create a file in", "fault"},
		{"a wrong key", "cp /etc/dubnium/dubnium.toml /root/; echo 'x = 1' >/etc/dubnium/dubnium.toml", "mv /root/dubnium.toml /etc/dubnium/", "configuration", "dubnium.toml:1", "fault"},
		{"a GPU that there is not", "cp /etc/dubnium/dubnium.toml /root/; printf '[hardware]\npresentGpus = [0]\n' >>/etc/dubnium/dubnium.toml", "mv /root/dubnium.toml /etc/dubnium/", "gpus", "missing", "fault"},
		{"no logind", "systemctl mask --runtime --now systemd-logind.service", "systemctl unmask --runtime systemd-logind.service; systemctl start systemd-logind.service", "sources", "org.freedesktop.login1", "fault"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := box{b.Machine, t}
			b.run(0, "sh", "-ec", tt.spoil)
			code := exitcode.Inspection
			if tt.grade == "warning" {
				code = 0
			}
			found := false
			d := b.doctor(code)
			for _, f := range d.Findings {
				if f.Area == tt.area && f.Grade == tt.grade && strings.Contains(f.What+": "+f.Message, tt.says) {
					found = f.Remedy != ""
				}
			}
			if !found {
				t.Errorf("no %s in %s that says %q with a remedy: %+v", tt.grade, tt.area, tt.says, d.Findings)
			}
			b.run(0, "sh", "-ec", tt.mend)
		})
	}
	if d := b.doctor(0); !d.Healthy {
		t.Errorf("when all is mended: %+v", d.Findings)
	}
}
