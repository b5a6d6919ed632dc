package examples_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"

	"chat-service-backend/internal/awstest"
)

// program calls the functions as Cognito and CloudTrail do, and prints the names of
// the users at Stream in between.
const program = `
import json, users

def confirm(source, sub, name):
    event = {"triggerSource": source, "request": {"userAttributes": {"sub": sub, "name": name}}}
    assert users.confirmed(event, None) is event

def names():
    print([user["name"] for user in json.loads(users.call("GET", "/proxy/users?payload=%7B%22filter_conditions%22:%7B%7D%7D").data)["users"]])

confirm("PostConfirmation_ConfirmSignUp", "a.1", "Jane")
confirm("PostConfirmation_ConfirmForgotPassword", "a.2", "John")
names()
for _ in range(2):  # CloudTrail may send an event twice
    users.deleted({"detail": {"eventName": "AdminDeleteUser", "additionalEventData": {"sub": "a.1"}}}, None)
names()
`

func TestUsersComeAndGoWithCognitos(t *testing.T) {
	awstest.Long(t, "Python loads botocore for seconds, and nothing of ours but the proxy is behind it")
	c := exec.CommandContext(t.Context(), "python3", "-c", program)
	c.Dir = "users"
	c.Env = append(os.Environ(), "PYTHONPATH=.:../user-ids", "PYTHONDONTWRITEBYTECODE=1", "SERVICE_URL="+awstest.NewDevServer(t, nil).Service,
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret")
	out, err := c.CombinedOutput()
	if bytes.Contains(out, []byte("ModuleNotFoundError")) || errors.Is(err, exec.ErrNotFound) {
		awstest.Missing(t, "python3 with botocore and urllib3: %v %s", err, out)
	}
	if want := "['Jane']\n[]\n"; err != nil || string(out) != want {
		t.Errorf("want Jane created and deleted, %q, got %q, %v", want, out, err)
	}
}
