// Package users_test runs the example's functions against the development server.
package users_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestUsersComeAndGoWithCognitos(t *testing.T) {
	awstest.Need(t, "python3", "-c", "import botocore, urllib3")
	service := awstest.NewService(t, nil).Service
	run := func(code string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "python3", "-c", "import json, users\n"+code)
		c.Env = append(os.Environ(), "PYTHONPATH=.:../user-ids", "PYTHONDONTWRITEBYTECODE=1", "SERVICE_URL="+service,
			"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	// names returns the names of the users at Stream.
	names := func() string {
		t.Helper()
		var answer struct{ Users []struct{ Name string } }
		text := run(`print(users.call("GET", "/proxy/users?payload=%7B%7D").data.decode())`)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		var all []string
		for _, user := range answer.Users {
			all = append(all, user.Name)
		}
		return strings.Join(all, " ")
	}
	confirm := func(source, sub, name string) {
		t.Helper()
		run(`event = {"triggerSource": "` + source + `", "request": {"userAttributes": {"sub": "` + sub + `", "name": "` + name + `"}}}
assert users.confirmed(event, None) is event`)
	}
	confirm("PostConfirmation_ConfirmSignUp", "a.1", "Jane")
	confirm("PostConfirmation_ConfirmForgotPassword", "a.2", "John")
	if got := names(); got != "Jane" {
		t.Errorf("want Jane alone, got %s", got)
	}
	for range 2 { // CloudTrail may send an event twice
		run(`users.deleted({"detail": {"eventName": "AdminDeleteUser", "additionalEventData": {"sub": "a.1"}}}, None)`)
	}
	if got := names(); got != "" {
		t.Errorf("want nobody, got %s", got)
	}
}
