package chatservice_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryAlarmHasItsRunbookEntry(t *testing.T) {
	t.Parallel()
	text := operations(t)
	// A heading and, before the next, some text.
	heading := regexp.MustCompile(`(?m)^#+ (\w+Alarm)\n\n[^#\s]`)
	var entries []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		entries = append(entries, match[1])
	}
	var alarms []string
	for id, v := range source(t)["Resources"].(object) {
		if v.(object)["Type"] == "AWS::CloudWatch::Alarm" {
			alarms = append(alarms, id)
		}
	}
	same(t, "entries in docs/operations.md, alarms in template.yaml", entries, alarms)
}

func TestEveryMetricIsInTheTable(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:Count|Milliseconds) \\|")
	var listed []string
	for _, match := range row.FindAllStringSubmatch(operations(t), -1) {
		listed = append(listed, match[1])
	}
	// Stream has no answers of the class 3xx.
	want := slices.DeleteFunc(sentMetrics(t), func(name string) bool { return name == "Upstream3xx" })
	for _, v := range source(t)["Resources"].(object) {
		if v.(object)["Type"] != "AWS::Logs::MetricFilter" {
			continue
		}
		for _, transformation := range dig(v, "Properties", "MetricTransformations").(list) {
			if name := dig(transformation, "MetricName").(string); !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
	}
	same(t, "metrics in docs/operations.md, metrics that are sent", listed, want)
}

// The queries of docs/operations.md look for messages and fields that the
// functions write.
func TestLogQueriesAskForWhatIsLogged(t *testing.T) {
	t.Parallel()
	fields := []string{
		"level", "message", "requestId", "traceId", "method", "route", "status", "durationMs", "caller", "cause", "refused", "isValid", "queued",
		"type", // of Lambda's own lines
	}
	words := regexp.MustCompile(`"[^"]*"|/[^/\n]*/|#.*|\bas \w+|\b\d\w*|@?[A-Za-z]\w*\(?`)
	language := []string{
		"fields", "filter", "sort", "limit", "stats", "by", "and", "or", "like", "in", "desc", "asc",
		"count(", "pct(", "max(", "latest(", "bin(", "coalesce(", "ispresent(",
	}
	blocks := regexp.MustCompile("(?s)```\n(#.*?)```").FindAllStringSubmatch(operations(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("want the queries, got %d", len(blocks))
	}
	for _, block := range blocks {
		var named []string // by the query itself
		for _, word := range words.FindAllString(block[1], -1) {
			switch {
			case strings.IndexByte(`"/#@0123456789`, word[0]) >= 0:
			case len(word) > 3 && word[:3] == "as ":
				named = append(named, word[3:])
			case !slices.Contains(fields, word) && !slices.Contains(language, word) && !slices.Contains(named, word):
				t.Errorf("want fields of a log line, got %s in\n%s", word, block[1])
			}
		}
	}
}

func TestSecurityPageNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	exists := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, match := range declared.FindAllSubmatch(code, -1) {
			// As the page writes it: the folder, a dot, the test.
			exists[filepath.ToSlash(filepath.Dir(path))+"."+string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([\\w/]+|\\.)\\.((?:Test|Fuzz)\\w+)`").FindAllSubmatch(text, -1)
	for _, match := range named {
		if test := string(match[1]) + "." + string(match[2]); !exists[test] {
			t.Errorf("docs/security.md: want a test that exists, got %s", test)
		}
	}
	if len(named) < 30 {
		t.Errorf("want tests named for what the page claims, got %d", len(named))
	}
}
