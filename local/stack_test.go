package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/cfn"
)

// routed is a server that has read a template and no more.
func routed(t *testing.T, tmpl *cfn.Template) (*server, error) {
	s := &server{options: testOptions(t, io.Discard), template: tmpl, pools: map[string]*pool{}}
	if err := s.listen(t.Context()); err != nil {
		return nil, err
	}
	t.Cleanup(s.close)
	if err := s.deploy(t.Context()); err != nil {
		return nil, err
	}
	return s, s.routeRequests(t.Context())
}

func TestStackHasTheFunctionsAndRoutesOfTheTemplate(t *testing.T) {
	t.Parallel()
	tmpl, err := cfn.Find("testdata/stack")
	if err != nil {
		t.Fatal(err)
	}
	s, err := routed(t, tmpl)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rt := range append(s.clientAPI.routes, s.serviceAPI.routes...) {
		got = append(got, fmt.Sprintf("%s → %s, IAM %t, streamed %t", rt.key(), rt.function, rt.IAM, rt.Stream))
	}
	want := []string{
		"POST /echo → echo, IAM false, streamed false",
		"GET /echo/{name} → echo, IAM false, streamed false",
		"GET /hasty/{name} → echo, IAM false, streamed false",
		"GET /buffered → proxy, IAM true, streamed false",
		"POST /echo → echo, IAM true, streamed false",
		"GET /echo/{name} → echo, IAM true, streamed false",
		"GET /hasty/{name} → echo, IAM true, streamed false",
		"GET /open → echo, IAM false, streamed false",
		"ANY /proxy/{path+} → proxy, IAM true, streamed true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("want routes\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

func TestStackErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/stack/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"{ApiId: !Ref ClientApi, Path: /echo,", "{ApiId: Other, Path: /echo,", `want the API "ClientApi", got "Other"`},
		{"AWS::Serverless::Function", "AWS::Lambda::Function", "want a function with an HttpApi or Api event"},
		{"AWS::Serverless::Api", "AWS::Serverless::HttpApi", "want one HTTP API and one REST API, got ServiceApi too"},
	} {
		tmpl, err := cfn.Parse([]byte(strings.ReplaceAll(string(text), c.old, c.new)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := routed(t, tmpl); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, got %v", c.new, c.want, err)
		}
	}
}
