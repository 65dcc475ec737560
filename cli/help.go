package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// helpText is the help of a flag with its default, which the parser shows only in the place of a missing placeholder.
func helpText(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || v.Tag.PlaceHolder == "" {
		return text
	}
	var defaults []string
	if v.Default != "" {
		defaults = append(defaults, v.Default)
	}
	if dev := v.Tag.Get("dev"); dev != "" && dev != v.Default {
		defaults = append(defaults, "with --dev "+dev)
	}
	if defaults == nil {
		return text
	}
	return text + " [" + strings.Join(defaults, "; ") + "]"
}
