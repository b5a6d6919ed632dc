package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chat-service-backend/internal/awstest"
)

// nobody is the user for PostgreSQL if the tests run as root, which it refuses.
const nobody = 65534

func TestExampleInSQLAgrees(t *testing.T) {
	awstest.Long(t, "PostgreSQL takes seconds to make a database")
	need(t, "initdb")
	dir, err := os.MkdirTemp("", "") // t.TempDir is in a directory that only root may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		as.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	run := func(in, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdin = dir, as, strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	var users []user
	var rows strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	for _, u := range manyUsers(t) {
		if !strings.Contains(u.Claim, "\x00") { // which PostgreSQL does not allow in text
			users = append(users, u)
			rows.WriteString(escape.Replace(u.Prefix) + "\t" + escape.Replace(u.Claim) + "\n")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	run("", "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username=postgres", filepath.Join(dir, "data"))
	// Without a server. Each statement ends with ";" and an empty line.
	run(example(t, "user_id.sql")+`
CREATE TABLE users (n serial, prefix text, claim text);

COPY users (prefix, claim) FROM '`+dir+`/users';

COPY (SELECT stream_user_id(claim, prefix) FROM users ORDER BY n) TO '`+dir+`/ids';

`, "postgres", "--single", "-j", "-D", filepath.Join(dir, "data"), "postgres")
	ids, err := os.ReadFile(filepath.Join(dir, "ids"))
	if err != nil {
		t.Fatal(err)
	}
	if list := strings.Split(strings.TrimSuffix(string(ids), "\n"), "\n"); len(list) == len(users) {
		agree(t, users, list)
	} else {
		t.Errorf("want %d ids, got %d", len(users), len(list))
	}
}
