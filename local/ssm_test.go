package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func askSSM(t *testing.T, h http.Handler, operation, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSSM."+operation)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("want JSON, got %q", w.Body)
	}
	return w.Code, got
}

func testSSM(v values) *ssm {
	return &ssm{region: "eu-west-1", values: v, log: &lineLog{w: &syncBuffer{}}}
}

func TestSSMGetParameters(t *testing.T) {
	h := testSSM(builtInValues("/p"))
	status, got := askSSM(t, h, "GetParameters", `{"Names":["/p/stream/api-key","/p/stream/api-secret","/p/none"],"WithDecryption":true}`)
	found := list(got["Parameters"])
	if status != 200 || len(found) != 2 || !jsonEqual(got["InvalidParameters"], []string{"/p/none"}) {
		t.Fatalf("want two values and a missing one, got %d %v", status, got)
	}
	key, secret := object(found[0]), object(found[1])
	if key["Type"] != "String" || key["Value"] != "local-key" || key["ARN"] != "arn:aws:ssm:eu-west-1:000000000000:parameter/p/stream/api-key" {
		t.Errorf("got %v", key)
	}
	if secret["Type"] != "SecureString" || secret["Value"] != developmentSecret {
		t.Errorf("want the secret decrypted, got %v", secret)
	}
	_, got = askSSM(t, h, "GetParameters", `{"Names":["/p/stream/api-secret"]}`)
	if v := object(list(got["Parameters"])[0])["Value"]; v == developmentSecret || v == "" {
		t.Errorf("want no plain secret without WithDecryption, got %v", v)
	}
	names := `"/a"` + strings.Repeat(`,"/a"`, 10)
	if status, got := askSSM(t, h, "GetParameters", `{"Names":[`+names+`]}`); status != 400 || got["__type"] != "ValidationException" {
		t.Errorf("want 11 names refused, got %d %v", status, got)
	}
}

func TestSSMGetParameter(t *testing.T) {
	h := testSSM(builtInValues("/p"))
	status, got := askSSM(t, h, "GetParameter", `{"Name":"/p/client-config/web"}`)
	value, _ := object(got["Parameter"])["Value"].(string)
	if status != 200 || !json.Valid([]byte(value)) {
		t.Errorf("want a JSON object as configuration, got %d %v", status, got)
	}
	if status, got := askSSM(t, h, "GetParameter", `{"Name":"/p/none"}`); status != 400 || got["__type"] != "ParameterNotFound" {
		t.Errorf("want ParameterNotFound, got %d %v", status, got)
	}
	if status, got := askSSM(t, h, "PutParameter", `{}`); status != 400 || got["__type"] != "UnknownOperationException" {
		t.Errorf("want UnknownOperationException, got %d %v", status, got)
	}
	if status, _ := askSSM(t, h, "GetParameter", `nonsense`); status != 400 {
		t.Errorf("want 400, got %d", status)
	}
}

func TestSSMGetParametersByPathPages(t *testing.T) {
	m := map[string]string{"/p/deep/x": "1", "/pother": "1", "/p": "1"}
	for _, name := range strings.Split("abcdefghijkl", "") {
		m["/p/"+name] = name
	}
	h := testSSM(func() (map[string]string, error) { return m, nil })
	names := func(query string) (all []string) {
		next := ""
		for {
			status, got := askSSM(t, h, "GetParametersByPath", strings.Replace(query, "}", next+"}", 1))
			if status != 200 {
				t.Fatalf("%s: got %d %v", query, status, got)
			}
			for _, v := range list(got["Parameters"]) {
				all = append(all, object(v)["Name"].(string))
			}
			token, ok := got["NextToken"].(string)
			if !ok {
				return all
			}
			next = `,"NextToken":"` + token + `"`
		}
	}
	if got := names(`{"Path":"/p"}`); len(got) != 12 || got[0] != "/p/a" || got[11] != "/p/l" {
		t.Errorf("want the 12 names right below /p, got %v", got)
	}
	if got := names(`{"Path":"/p/","Recursive":true,"MaxResults":3}`); len(got) != 13 {
		t.Errorf("want 13 names below /p, got %v", got)
	}
	for query, want := range map[string]string{
		`{"Path":"p"}`:                      "ValidationException",
		`{"Path":"/p","MaxResults":0}`:      "ValidationException",
		`{"Path":"/p","MaxResults":11}`:     "ValidationException",
		`{"Path":"/p","NextToken":"never"}`: "InvalidNextToken",
	} {
		if status, got := askSSM(t, h, "GetParametersByPath", query); status != 400 || got["__type"] != want {
			t.Errorf("%s: want %s, got %d %v", query, want, status, got)
		}
	}
}

func TestEditingTheParametersFileIsARotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := testSSM(fileValues(file))
	for _, want := range []string{"one", "two"} {
		write(`{"/p/stream/api-key":"` + want + `"}`)
		_, got := askSSM(t, h, "GetParameter", `{"Name":"/p/stream/api-key"}`)
		if v := object(got["Parameter"])["Value"]; v != want {
			t.Errorf("want %q, got %v", want, v)
		}
	}
	write(`{"/p/stream/api-secret": "SECRET", broken`)
	status, got := askSSM(t, h, "GetParameter", `{"Name":"/p/stream/api-key"}`)
	if status != 500 || got["__type"] != "InternalServerError" {
		t.Errorf("want InternalServerError, got %d %v", status, got)
	}
	if log := h.log.w.(*syncBuffer).String(); strings.Contains(log, "SECRET") || !strings.Contains(log, "want a JSON object") {
		t.Errorf("want the reason without a value in the log, got %q", log)
	}
}
