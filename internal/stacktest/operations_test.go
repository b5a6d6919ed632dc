package stacktest

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
	row := regexp.MustCompile("(?m)^\\| ((?:`\\w+` ?)+)\\| (?:Count|Milliseconds) \\|")
	var listed []string
	for _, match := range row.FindAllStringSubmatch(operations(t), -1) {
		listed = append(listed, strings.Fields(strings.ReplaceAll(match[1], "`", ""))...)
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
