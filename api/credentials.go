package api

import (
	"encoding/hex"
	"slices"
	"strings"

	"carillon/api/wire"
	"carillon/sip/digest"
	"carillon/trunk"
)

// putCredentials adds credentials and replaces those of the same name; the others stay.
func putCredentials(r *request, in *wire.PutVoiceConnectorTerminationCredentialsRequest) (any, error) {
	if err := checkCredentials(in.Credentials); err != nil {
		return nil, err
	}
	_, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if c.Termination == nil {
			return noTermination()
		}
		for _, w := range in.Credentials {
			setCredential(c, string(*w.Username), string(*w.Password))
		}
		if len(c.Credentials) > trunk.MaxCredentials {
			return trunk.Errorf(trunk.Invalid, "The Voice Connector would have %d credentials; at most %d are allowed.", len(c.Credentials), trunk.MaxCredentials)
		}
		return nil
	})
	return nil, err
}

func checkCredentials(all []wire.Credential) error {
	if len(all) == 0 || len(all) > trunk.MaxCredentials {
		return trunk.Errorf(trunk.Invalid, "Credentials has %d entries; give 1 to %d.", len(all), trunk.MaxCredentials)
	}
	seen := make(map[wire.Sensitive]bool, len(all))
	for _, w := range all {
		if w.Username == nil || w.Password == nil {
			return trunk.Errorf(trunk.Invalid, "Each of Credentials needs a Username and a Password.")
		}
		if err := trunk.CheckUsername(string(*w.Username)); err != nil {
			return err
		}
		if err := trunk.CheckPassword(string(*w.Password)); err != nil {
			return err
		}
		if seen[*w.Username] {
			return trunk.Errorf(trunk.Invalid, "Credentials holds one Username twice; which password counts would be a matter of luck.")
		}
		seen[*w.Username] = true
	}
	return nil
}

// setCredential keeps what the digest needs of a password, which is its end. The realm is the connector's host name.
func setCredential(c *trunk.Connector, user, password string) {
	ha1 := digest.NewHA1(user, c.HostName, password)
	credential := trunk.Credential{
		Username: user, Realm: c.HostName,
		MD5: trunk.NewSecret(hex.EncodeToString(ha1.MD5[:])), SHA256: trunk.NewSecret(hex.EncodeToString(ha1.SHA256[:])),
	}
	at, found := slices.BinarySearchFunc(c.Credentials, user, func(c trunk.Credential, user string) int {
		return strings.Compare(c.Username, user)
	})
	if found {
		c.Credentials[at] = credential
		return
	}
	c.Credentials = slices.Insert(c.Credentials, at, credential)
}

// listCredentials never answers a null list: Terraform takes that for a resource that is gone.
func listCredentials(r *request, in *wire.ListVoiceConnectorTerminationCredentialsRequest) (any, error) {
	c, err := r.connector(in.VoiceConnectorID)
	if err != nil {
		return nil, err
	}
	if c.Termination == nil {
		return nil, noTermination()
	}
	names := make([]wire.Sensitive, 0, len(c.Credentials))
	for _, credential := range c.Credentials {
		names = append(names, wire.Sensitive(credential.Username))
	}
	return &wire.ListVoiceConnectorTerminationCredentialsResponse{Usernames: names}, nil
}

// deleteCredentials ignores names that are not there: what the caller wants is already so.
func deleteCredentials(r *request, in *wire.DeleteVoiceConnectorTerminationCredentialsRequest) (any, error) {
	if len(in.Usernames) == 0 {
		return nil, trunk.Errorf(trunk.Invalid, "Usernames is empty; name at least one.")
	}
	_, err := r.change(in.VoiceConnectorID, func(c *trunk.Connector) error {
		if c.Termination == nil {
			return noTermination()
		}
		c.Credentials = slices.DeleteFunc(c.Credentials, func(credential trunk.Credential) bool {
			return slices.Contains(in.Usernames, wire.Sensitive(credential.Username))
		})
		return nil
	})
	return nil, err
}
