package chatservice_test

import (
	"os"
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

func TestEveryAlarmIsInTheTableOfAlarms(t *testing.T) {
	t.Parallel()
	var rows, alarms []string
	for _, match := range regexp.MustCompile("(?m)^\\| ((?:`\\w+Alarm` ?)+)\\|").FindAllStringSubmatch(operations(t), -1) {
		rows = append(rows, strings.Fields(strings.ReplaceAll(match[1], "`", ""))...)
	}
	for id, v := range source(t)["Resources"].(object) {
		if v.(object)["Type"] == "AWS::CloudWatch::Alarm" {
			alarms = append(alarms, id)
		}
	}
	same(t, "alarms in docs/operations.md, alarms in template.yaml", rows, alarms)
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
