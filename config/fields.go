package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Field describes one setting.
type Field struct {
	// Name is the flag without its dashes and the key in the file, Env the variable in the environment.
	Name, Env string
	// Group is the heading it stands under, Placeholder what its value is called.
	Group, Placeholder string
	// Default and DevDefault are its values without and with --dev, empty for none.
	Default, DevDefault string
	// Help is one or more sentences.
	Help string
	// Min and Max bound a number, in the spelling of the flag; empty for no bound.
	Min, Max string

	index int
}

// Fields returns every setting in the order of the struct.
func Fields() []Field {
	t := reflect.TypeFor[Config]()
	fields := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := Field{
			Name:        tag.Get("name"),
			Group:       tag.Get("group"),
			Placeholder: tag.Get("placeholder"),
			Default:     tag.Get("default"),
			Help:        tag.Get("help"),
			Min:         tag.Get("min"),
			Max:         tag.Get("max"),
			index:       i,
		}
		f.Env = "CARILLON_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.DevDefault = f.Default
		if dev, ok := tag.Lookup("dev"); ok {
			f.DevDefault = dev
		}
		fields = append(fields, f)
	}
	return fields
}

func (f Field) value(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().Field(f.index) }

// setText parses text into v. A list is separated by commas.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		err := u.UnmarshalText([]byte(text))
		if err == nil {
			return nil
		}
		switch v.Type() { // what package netip says is for programmers
		case reflect.TypeFor[netip.Addr]():
			return fmt.Errorf("%q is not an IP address", text)
		case reflect.TypeFor[netip.Prefix]():
			return fmt.Errorf("%q is not a network such as 192.0.2.0/24", text)
		case reflect.TypeFor[netip.AddrPort]():
			return fmt.Errorf("%q is not an address and a port such as 192.0.2.53:53", text)
		}
		return err
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s or 1h30m", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		return setList(v, strings.Split(text, ","))
	default:
		return fmt.Errorf("settings of type %s cannot be read", v.Type())
	}
	return nil
}

func setList(v reflect.Value, items []string) error {
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if err := setText(list.Index(i), strings.TrimSpace(item)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}
