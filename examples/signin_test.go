package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestExamplesDecideAlike(t *testing.T) {
	const node = `import { readFileSync, writeFileSync } from 'node:fs';
		const text = readFileSync('index.mjs', 'utf8').replace(/^import .*$/m, '').replace(/^const table.*$/m, '');
		const { rule } = await import('data:text/javascript,' + encodeURIComponent(text));
		for (const given of process.argv.slice(1)) {
			const { event, row } = JSON.parse(given);
			console.log(JSON.stringify(await rule(event, async () => row)));
		}`
	const python = `import index, json, sys
for given in map(json.loads, sys.argv[1:]):
    print(json.dumps(index.rule(given["event"], lambda sub: given["row"])))`
	var givens, wants []string
	for given, want := range map[string]string{
		`{"event":{"claims":{"sub":"auth0|1"}},"row":null}`:                                                                             `{"allow":false,"message":"The chat comes with the plan Pro."}`,
		`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"free"}},"row":{"chatId":"x"}}`:                                    `{"allow":false,"message":"The chat comes with the plan Pro."}`,
		`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"pro"}},"row":null}`:                                               `{}`,
		`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"team"}},"row":{"chatId":"4711","teams":["red","blue"]}}`:          `{"userId":"4711","teams":["red","blue"]}`,
		`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"pro"},"route":"GET /config"},"row":{"chatId":"4711","teams":[]}}`: `{"userId":"4711","teams":[]}`,
	} {
		givens, wants = append(givens, given), append(wants, want)
	}
	for name, command := range map[string][]string{"node": {"node", "--input-type=module", "-e", node}, "python3": {"python3", "-c", python}} {
		if _, err := exec.LookPath(name); err != nil {
			awstest.Missing(t, "%s is not installed", name)
		}
		c := exec.Command(command[0], append(command[1:len(command):len(command)], givens...)...)
		c.Dir, c.Env = "sign-in", append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		out, err := c.Output()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil || len(lines) != len(wants) {
			t.Fatalf("%s: want %d lines, got %q, %v", name, len(wants), out, err)
		}
		for i, line := range lines {
			var got, wanted any
			if json.Unmarshal([]byte(line), &got) != nil || json.Unmarshal([]byte(wants[i]), &wanted) != nil || !reflect.DeepEqual(got, wanted) {
				t.Errorf("%s: %s: want %s, got %s", name, givens[i], wants[i], line)
			}
		}
	}
}
