package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	voice "github.com/aws/aws-sdk-go-v2/service/chimesdkvoice"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkvoice/types"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/chime"
	"github.com/aws/smithy-go"
)

// startGoV2 makes the client of aws-sdk-go-v2. Its methods are its operations.
func startGoV2(t *testing.T, s *seat, c *client) *client {
	api := voice.New(voice.Options{
		Region: "us-east-1", BaseEndpoint: &s.endpoint, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secret}, nil
		}),
	})
	value, model := reflect.ValueOf(api), readModel(t, c.namespace)
	c.known = surface{}
	for m := range value.Type().Methods() {
		// func(*Client, context.Context, *XInput, ...func(*Options)) (*XOutput, error)
		if f := m.Type; f.NumIn() == 4 && f.NumOut() == 2 && f.In(2).Kind() == reflect.Pointer && f.In(2).Elem().Name() == m.Name+"Input" {
			_, pages := goV2Paginators[m.Name]
			c.known[m.Name] = &operationShape{Input: goShape(f.In(2), 0), Output: goShape(f.Out(0), 0), Paginator: pages}
		}
	}
	c.call = func(operation string, in jsonObject, page int) answer {
		method := value.MethodByName(operation)
		input, err := goInput(method.Type().In(1), in, page)
		if err != nil {
			return answer{Broken: err.Error()}
		}
		output := outputShape(model, operation)
		if page == 0 {
			results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})
			return goAnswer(results, output, goV2Fault)
		}
		walker := reflect.ValueOf(goV2Paginators[operation]).Call([]reflect.Value{value, input})[0]
		var a answer
		for walker.MethodByName("HasMorePages").Call(nil)[0].Bool() {
			results := walker.MethodByName("NextPage").Call([]reflect.Value{reflect.ValueOf(t.Context())})
			one := goAnswer(results, output, goV2Fault)
			if one.Out == nil {
				return one
			}
			a.Pages = append(a.Pages, one.Out)
		}
		return a
	}
	return c
}

// goV2Paginators are functions of the package, which reflection does not list.
var goV2Paginators = map[string]any{
	"ListPhoneNumberOrders":       voice.NewListPhoneNumberOrdersPaginator,
	"ListPhoneNumbers":            voice.NewListPhoneNumbersPaginator,
	"ListProxySessions":           voice.NewListProxySessionsPaginator,
	"ListSipMediaApplications":    voice.NewListSipMediaApplicationsPaginator,
	"ListSipRules":                voice.NewListSipRulesPaginator,
	"ListVoiceConnectorGroups":    voice.NewListVoiceConnectorGroupsPaginator,
	"ListVoiceConnectors":         voice.NewListVoiceConnectorsPaginator,
	"ListVoiceProfileDomains":     voice.NewListVoiceProfileDomainsPaginator,
	"ListVoiceProfiles":           voice.NewListVoiceProfilesPaginator,
	"SearchAvailablePhoneNumbers": voice.NewSearchAvailablePhoneNumbersPaginator,
}

// goV2Fault reads an error. An exception of the client's own is a type of its package types.
func goV2Fault(err error) answer {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return answer{Broken: err.Error()}
	}
	a := answer{Fault: api.ErrorCode(), Message: api.ErrorMessage()}
	own := reflect.TypeOf(api).Elem()
	a.Typed = own.PkgPath() == reflect.TypeFor[types.NotFoundException]().PkgPath() && own.Name() == a.Fault
	if a.Typed {
		a.Code = reflect.ValueOf(api).Elem().FieldByName("Code").String()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		a.Status = response.HTTPStatusCode()
	}
	return a
}

// startGoV1 makes the client of aws-sdk-go, the frozen one that still has every operation of the namespace chime.
func startGoV1(t *testing.T, s *seat, c *client) *client {
	made, err := session.NewSession(awsv1.NewConfig().WithEndpoint(s.endpoint + "/" + c.namespace).WithRegion("us-east-1").WithMaxRetries(0).
		WithLogger(awsv1.LoggerFunc(func(...any) {})). // it says of every operation that it is deprecated
		WithCredentials(credentials.NewStaticCredentials(s.key, s.secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	value, model := reflect.ValueOf(chime.New(made)), readModel(t, c.namespace)
	c.known = surface{}
	for m := range value.Type().Methods() {
		// func(*Chime, *XInput) (*XOutput, error)
		if f := m.Type; f.NumIn() == 2 && f.NumOut() == 2 && f.In(1).Kind() == reflect.Pointer && f.In(1).Elem().Name() == m.Name+"Input" && f.Out(0).Kind() == reflect.Pointer {
			_, pages := value.Type().MethodByName(m.Name + "Pages")
			c.known[m.Name] = &operationShape{Input: goShape(f.In(1), 0), Output: goShape(f.Out(0), 0), Paginator: pages}
		}
	}
	c.call = func(operation string, in jsonObject, page int) answer {
		method := value.MethodByName(operation)
		input, err := goInput(method.Type().In(0), in, page)
		if err != nil {
			return answer{Broken: err.Error()}
		}
		output := outputShape(model, operation)
		if page == 0 {
			return goAnswer(method.Call([]reflect.Value{input}), output, goV1Fault)
		}
		var a answer
		pages := value.MethodByName(operation + "Pages")
		visit := reflect.MakeFunc(pages.Type().In(1), func(args []reflect.Value) []reflect.Value {
			a.Pages = append(a.Pages, goValue(args[0], output).(jsonObject))
			return []reflect.Value{reflect.ValueOf(true)}
		})
		if err, _ := pages.Call([]reflect.Value{input, visit})[0].Interface().(error); err != nil {
			return goV1Fault(err)
		}
		return a
	}
	return c
}

// goV1Fault reads an error. An exception of the client's own is a type of the service's package.
func goV1Fault(err error) answer {
	failure, ok := errors.AsType[awserr.RequestFailure](err)
	if !ok {
		return answer{Broken: err.Error()}
	}
	own := reflect.TypeOf(failure).Elem()
	a := answer{Fault: failure.Code(), Message: failure.Message(), Status: failure.StatusCode()}
	a.Typed = own.PkgPath() == reflect.TypeFor[chime.NotFoundException]().PkgPath() && own.Name() == a.Fault
	if a.Typed {
		a.Code, _ = goValue(reflect.ValueOf(failure).Elem().FieldByName("Code_"), nil).(string)
	}
	return a
}

// outputShape is that of the namespace's model, which has the names that go over the wire.
func outputShape(model surface, operation string) *shape {
	if op := model[operation]; op != nil {
		return op.Output
	}
	return nil
}

// goInput makes an input. Its fields are called as the members are.
func goInput(pointer reflect.Type, in jsonObject, page int) (reflect.Value, error) {
	input := reflect.New(pointer.Elem())
	text, err := json.Marshal(in)
	if err == nil {
		err = json.Unmarshal(text, input.Interface())
	}
	if err == nil && page > 0 {
		err = json.Unmarshal(fmt.Appendf(nil, `{"MaxResults":%d}`, page), input.Interface())
	}
	return input, err
}

// goAnswer reads what a method returned: an output and an error.
func goAnswer(results []reflect.Value, s *shape, fault func(error) answer) answer {
	if err, _ := results[1].Interface().(error); err != nil {
		return fault(err)
	}
	out, ok := goValue(results[0], s).(jsonObject)
	if !ok {
		out = jsonObject{}
	}
	return answer{Out: out}
}

// goValue makes of an output what JSON would be, with the names of the model. What is nil, and an enumeration without a
// value, is not there.
func goValue(v reflect.Value, s *shape) any {
	if s == nil {
		s = &shape{}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return goValue(v.Elem(), s)
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return at.UTC().Format(time.RFC3339Nano)
		}
		out := jsonObject{}
		for f, value := range v.Fields() {
			if !f.IsExported() || f.Name == "ResultMetadata" {
				continue
			}
			name, member := s.member(f.Name)
			if got := goValue(value, member); got != nil {
				out[name] = got
			}
		}
		return out
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		out := []any{}
		for i := range v.Len() {
			out = append(out, goValue(v.Index(i), s.Element))
		}
		return out
	case reflect.String:
		if v.Type() != reflect.TypeFor[string]() && v.String() == "" {
			return nil
		}
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return float64(v.Int())
	}
	return v.Interface()
}

// goShape is what the client's structs know. Names are matched whatever their case.
func goShape(t reflect.Type, depth int) *shape {
	switch {
	case depth > 12:
		return &shape{Kind: "string"}
	case t.Kind() == reflect.Pointer:
		return goShape(t.Elem(), depth)
	case t.Kind() == reflect.Slice:
		return &shape{Kind: "list", Element: goShape(t.Elem(), depth+1)}
	case t.Kind() == reflect.Map:
		return &shape{Kind: "map", Element: goShape(t.Elem(), depth+1)}
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		s := &shape{Kind: "structure", Members: map[string]*shape{}}
		for f := range t.Fields() {
			if f.IsExported() && f.Name != "ResultMetadata" {
				s.Members[f.Name] = goShape(f.Type, depth+1)
			}
		}
		return s
	}
	return &shape{Kind: strings.ToLower(t.Kind().String())}
}
