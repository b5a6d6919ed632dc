package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
)

type storeAnswer struct {
	Type              string `json:"__type"`
	Parameters        []struct{ Name, Type, Value string }
	InvalidParameters []string
	NextToken         string
}

func askStore(t *testing.T, s *parameterstore.Store, operation, body string) (status int, a storeAnswer) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSSM."+operation)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("want JSON, got %q", w.Body)
	}
	return w.Code, a
}

func TestSecretsNeedDecryption(t *testing.T) {
	s := &parameterstore.Store{Values: parameterstore.NewMemory(map[string]string{"/p/stream/api-key": "k", "/p/stream/api-secret": "s"}).Values}
	const names = `"Names":["/p/stream/api-key","/p/stream/api-secret","/p/none"]`
	_, a := askStore(t, s, "GetParameters", "{"+names+`,"WithDecryption":true}`)
	if len(a.Parameters) != 2 || a.Parameters[0].Value != "k" || a.Parameters[1].Value != "s" || a.Parameters[1].Type != "SecureString" ||
		len(a.InvalidParameters) != 1 || a.InvalidParameters[0] != "/p/none" {
		t.Errorf("want key and secret, and the missing name, got %+v", a)
	}
	if _, a := askStore(t, s, "GetParameters", "{"+names+"}"); a.Parameters[0].Value != "k" || a.Parameters[1].Value == "s" {
		t.Errorf("want no plain secret without WithDecryption, got %+v", a)
	}
}

func TestPathIsListedInPages(t *testing.T) {
	values := map[string]string{"/p/deep/x": "1", "/pother": "1", "/p": "1"}
	for _, name := range strings.Split("abcdefghijkl", "") {
		values["/p/"+name] = name
	}
	s := &parameterstore.Store{Values: parameterstore.NewMemory(values).Values}
	_, first := askStore(t, s, "GetParametersByPath", `{"Path":"/p"}`)
	_, second := askStore(t, s, "GetParametersByPath", `{"Path":"/p","NextToken":"`+first.NextToken+`"}`)
	if len(first.Parameters) != 10 || first.Parameters[0].Name != "/p/a" || len(second.Parameters) != 2 || second.Parameters[1].Name != "/p/l" || second.NextToken != "" {
		t.Errorf("want the 12 names right below /p on two pages, got %+v and %+v", first, second)
	}
}

func TestCallsThatSSMRefusesAreRefused(t *testing.T) {
	s := &parameterstore.Store{Values: parameterstore.NewMemory(nil).Values}
	for _, c := range []struct{ operation, body, want string }{
		{"GetParameters", `{"Names":[` + strings.Repeat(`"/a",`, 10) + `"/a"]}`, "ValidationException"},
		{"GetParametersByPath", `{"Path":"p"}`, "ValidationException"},
		{"GetParametersByPath", `{"Path":"/p","NextToken":"never"}`, "InvalidNextToken"},
		{"GetParameters", `nonsense`, "SerializationException"},
		{"PutParameter", `{"Name":"/p/a","Value":"x"}`, "UnknownOperationException"},
	} {
		if status, a := askStore(t, s, c.operation, c.body); status != 400 || a.Type != c.want {
			t.Errorf("%s %s: want %s, got %d %+v", c.operation, c.body, c.want, status, a)
		}
	}
	s.Fault.Set(standin.Refuse(400, "ThrottlingException"))
	if _, a := askStore(t, s, "GetParameters", `{"Names":["/a"]}`); a.Type != "ThrottlingException" {
		t.Errorf("want the fault, got %+v", a)
	}
	s.Fault.Set(nil)
	if status, _ := askStore(t, s, "GetParameters", `{"Names":["/a"]}`); status != 200 {
		t.Errorf("want an answer without the fault, got %d", status)
	}
}

func TestEditingTheFileIsARotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.json")
	var log strings.Builder
	s := &parameterstore.Store{Values: parameterstore.File(file), Log: func(_ string, args ...any) { log.WriteString(args[0].(error).Error()) }}
	for _, value := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(`{"/p/a":"`+value+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, a := askStore(t, s, "GetParameters", `{"Names":["/p/a"]}`); len(a.Parameters) != 1 || a.Parameters[0].Value != value {
			t.Errorf("want %q, got %+v", value, a)
		}
	}
	if err := os.WriteFile(file, []byte(`{"/p/a": "SECRET", broken`), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := askStore(t, s, "GetParameters", `{"Names":["/p/a"]}`); status != 500 || strings.Contains(log.String(), "SECRET") || !strings.Contains(log.String(), "is not a JSON object") {
		t.Errorf("want 500 and the reason without a value in the log, got %d, %q", status, log.String())
	}
}
