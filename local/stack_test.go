package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestStackErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/stack/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"{ApiId: !Ref ClientApi, Path: /echo,", "{ApiId: Other, Path: /echo,", `"Other" is not the API "ClientApi"`},
		{"AWS::Serverless::Function", "AWS::Lambda::Function", "no function has an HttpApi or Api event"},
		{"AWS::Serverless::Api", "AWS::Serverless::HttpApi", "ServiceApi is one API too many"},
	} {
		opts := testOptions(t, io.Discard)
		opts.templateText = []byte(strings.ReplaceAll(string(text), c.old, c.new))
		if _, err := start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, got %v", c.new, c.want, err)
		}
	}
}
