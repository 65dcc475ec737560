package cli

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "carillon/api/v1"
)

type connectorCommand struct {
	Set connectorSetCommand `cmd:"" help:"Change settings of a connector; without any, show them."`
}

type connectorSetCommand struct {
	nodeFlags
	ID       string   `arg:"" name:"connector" help:"Connector id."`
	Settings []string `arg:"" optional:"" name:"setting" help:"digest=md5,sha-256 (algorithms offered, in this order), peer.HOST.pin=HEX (SHA-256 of that route's public key), peer.HOST.verify=on|off, plain-emergency=on|off, premium=on|off (calls to premium, satellite and international networks), redirects=refuse|follow (3xx answers), transfers=refuse|relay|execute (REFER, Replaces), headers=X-Name,X-Other-* (custom headers that cross), client-certificates=on|off (ask for one, and call the host it proves on its own connection)."`
}

func (c *connectorSetCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	path := v1.Connectors + "/" + url.PathEscape(c.ID) + "/settings"
	var now v1.Settings
	if err := node.own(ctx, http.MethodGet, path, nil, &now); err != nil {
		return noConnector(err, c.ID)
	}
	if len(c.Settings) > 0 {
		change, err := parseSettings(now, c.Settings)
		if err != nil {
			return err
		}
		now = v1.Settings{} // or what is gone from the answer's map would stay
		if err := node.own(ctx, http.MethodPut, path, change, &now); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(s.Out, now)
	}
	return printSettings(s, now)
}

// parseSettings returns what has to be put for the words of the command line. Peers are put as a whole, so those that
// are not named come from what is set now.
func parseSettings(now v1.Settings, words []string) (*v1.Settings, error) {
	change := &v1.Settings{}
	peers := map[string]v1.Peer{}
	if now.Peers != nil {
		peers = maps.Clone(*now.Peers)
	}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, usage("%q is not NAME=VALUE.", word)
		}
		host, isPeer := strings.CutPrefix(name, "peer.")
		switch {
		case name == "digest":
			list := []string{}
			if value != "" {
				list = strings.Split(value, ",")
			}
			change.Digest = &list
		case name == "plain-emergency":
			on, err := onOff(word, value)
			if err != nil {
				return nil, err
			}
			change.PlainEmergency = &on
		case name == "premium":
			on, err := onOff(word, value)
			if err != nil {
				return nil, err
			}
			change.Premium = &on
		case name == "client-certificates":
			on, err := onOff(word, value)
			if err != nil {
				return nil, err
			}
			change.ClientCertificates = &on
		case name == "headers":
			list := []string{}
			if value != "" {
				list = strings.Split(value, ",")
			}
			change.Headers = &list
		case name == "redirects":
			change.Redirects = &value
		case name == "transfers":
			change.Transfers = &value
		case isPeer:
			if err := setPeer(peers, word, host, value); err != nil {
				return nil, err
			}
			change.Peers = &peers
		default:
			return nil, usage("There is no setting %q; there are digest, peer.HOST.pin, peer.HOST.verify, plain-emergency, premium, client-certificates, redirects, transfers and headers.", name)
		}
	}
	return change, nil
}

// setPeer reads HOST.pin or HOST.verify. A peer that has neither again is verified like any other and is left out.
func setPeer(peers map[string]v1.Peer, word, name, value string) error {
	host, isPin := strings.CutSuffix(name, ".pin")
	if !isPin {
		var ok bool
		if host, ok = strings.CutSuffix(name, ".verify"); !ok {
			return usage("%q sets neither peer.HOST.pin nor peer.HOST.verify.", word)
		}
	}
	host = strings.ToLower(host)
	p := peers[host]
	if isPin {
		p.Pin = value
		p.NoVerify = p.NoVerify && value == ""
	} else {
		verify, err := onOff(word, value)
		if err != nil {
			return err
		}
		p.NoVerify = !verify
		if p.NoVerify {
			p.Pin = ""
		}
	}
	peers[host] = p
	if p == (v1.Peer{}) {
		delete(peers, host)
	}
	return nil
}

func onOff(word, value string) (bool, error) {
	if value != "on" && value != "off" {
		return false, usage("%q is neither on nor off.", word)
	}
	return value == "on", nil
}

func onOrOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func printSettings(s *session, now v1.Settings) error {
	var t table
	t.add("setting", "value")
	if now.Digest != nil {
		t.add("digest", strings.Join(*now.Digest, ","))
	}
	if now.Peers != nil {
		for _, host := range slices.Sorted(maps.Keys(*now.Peers)) {
			if p := (*now.Peers)[host]; p.NoVerify {
				t.add("peer."+host+".verify", "off (encrypted, peer not verified)")
			} else {
				t.add("peer."+host+".pin", p.Pin)
			}
		}
	}
	if now.PlainEmergency != nil {
		t.add("plain-emergency", onOrOff(*now.PlainEmergency))
	}
	if now.Premium != nil {
		t.add("premium", onOrOff(*now.Premium))
	}
	if now.ClientCertificates != nil {
		t.add("client-certificates", onOrOff(*now.ClientCertificates))
	}
	if now.Headers != nil {
		t.add("headers", strings.Join(*now.Headers, ","))
	}
	if now.Redirects != nil && now.Transfers != nil {
		t.add("redirects", *now.Redirects)
		t.add("transfers", *now.Transfers)
	}
	return t.print(s.Out)
}
