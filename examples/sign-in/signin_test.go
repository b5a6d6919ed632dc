package signin

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"testing"

	"chat-service-backend/internal/awstest"
)

func TestExamplesDecideAlike(t *testing.T) {
	const node = `import { readFileSync, writeFileSync } from 'node:fs';
		const text = readFileSync('index.mjs', 'utf8').replace(/^import .*$/m, '').replace(/^const table.*$/m, '');
		const { rule } = await import('data:text/javascript,' + encodeURIComponent(text));
		const { event, row } = JSON.parse(process.argv[1]);
		console.log(JSON.stringify(await rule(event, async () => row)))`
	const python = `import index, json, sys
given = json.loads(sys.argv[1])
print(json.dumps(index.rule(given["event"], lambda sub: given["row"])))`
	for name, command := range map[string][]string{"node": {"node", "--input-type=module", "-e", node}, "python3": {"python3", "-c", python}} {
		if _, err := exec.LookPath(name); err != nil {
			awstest.Missing(t, "%s is not installed", name)
		}
		for given, want := range map[string]string{
			`{"event":{"claims":{"sub":"auth0|1"}},"row":null}`:                                                                             `{"allow":false,"message":"The chat comes with the plan Pro."}`,
			`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"free"}},"row":{"chatId":"x"}}`:                                    `{"allow":false,"message":"The chat comes with the plan Pro."}`,
			`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"pro"}},"row":null}`:                                               `{}`,
			`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"team"}},"row":{"chatId":"4711","teams":["red","blue"]}}`:          `{"userId":"4711","teams":["red","blue"]}`,
			`{"event":{"claims":{"sub":"auth0|1","https://acme.com/plan":"pro"},"route":"GET /config"},"row":{"chatId":"4711","teams":[]}}`: `{"userId":"4711","teams":[]}`,
		} {
			out, err := exec.Command(command[0], append(command[1:len(command):len(command)], given)...).Output()
			var got, wanted any
			if err != nil || json.Unmarshal(out, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || !reflect.DeepEqual(got, wanted) {
				t.Errorf("%s: %s: want %s, got %s, %v", name, given, want, out, err)
			}
		}
	}
}
