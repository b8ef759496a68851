package units

import (
	"encoding/json"
	"fmt"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
)

// polkit is the text of the rule with which an operator asks for a mode
// without sudo (polkit(8)). systemd tells polkit the unit and the verb of each
// request (org.freedesktop.systemd1(5), manage-units); everything that is not
// the start of a transition stays with the rules of the system, and so does
// everybody who is not in the group.
func polkit() string {
	var names []string
	for _, m := range mode.Names() {
		names = append(names, "mode-controller@"+m+".service")
	}
	list, err := json.Marshal(names)
	if err != nil {
		panic(fmt.Sprintf("units: the names of the modes: %v", err)) // strings of letters and hyphens
	}
	return `// ` + Header + `
// Members of the group ` + config.OperatorsGroup + ` may start a transition, and nothing else of root's.
polkit.addRule(function (action, subject) {
	var transitions = ` + string(list) + `;
	if (action.id == "org.freedesktop.systemd1.manage-units" &&
		action.lookup("verb") == "start" &&
		transitions.indexOf(action.lookup("unit")) >= 0 &&
		subject.isInGroup("` + config.OperatorsGroup + `")) {
		return polkit.Result.YES;
	}
});
`
}
