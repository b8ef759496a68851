package login

import "strings"

// displayManagers begin the names of the PAM services by which display managers
// open sessions: the name alone, or with a variant behind a hyphen, as in
// gdm-password, sddm-autologin, greetd-greeter.
var displayManagers = []string{
	"cosmic-greeter", "emptty", "gdm", "greetd", "kde", "lemurs", "lightdm", "lxdm", "ly", "plasmalogin", "sddm", "slim", "wdm", "xdm",
}

// ByDisplayManager tells whether a PAM service is that of a display manager. The
// service that opened a session is in its record to the end, unlike its type.
func ByDisplayManager(service string) bool {
	for _, name := range displayManagers {
		if rest, ok := strings.CutPrefix(service, name); ok && (rest == "" || rest[0] == '-') {
			return true
		}
	}
	return false
}
