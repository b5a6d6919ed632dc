package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// pair returns a function that lets the first two who call it go on together.
func pair() func() {
	var here sync.WaitGroup
	here.Add(2)
	places := make(chan bool, 2)
	return func() {
		select {
		case places <- true:
			here.Done()
			here.Wait()
		default:
		}
	}
}

// Both write the secret before one writes the key, and so key and secret are of two pairs.
func TestTwoWhoWriteTheValuesLearnOfEachOther(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	d.dir = "."
	read, wrote := pair(), pair()
	d.onAWS = func(_ http.ResponseWriter, r *http.Request, body string) bool {
		switch put := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutParameter"); {
		case put && strings.Contains(body, apiSecret):
			read()
		case put:
			wrote()
		}
		return false
	}
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			r := d.run(fmt.Sprintf("key%d\nsecret%d\n\n", i, i), "params")
			if wrote(); !strings.Contains(r.stderr, "somebody else has written "+prefix+apiSecret+" at the same moment") {
				t.Errorf("want it said that there is another, got %+v", r)
			}
		})
	}
	both.Wait()
}

func TestTwoImportsOfAFileLoseNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("users.jsonl", lines(1, 300))
	together := pair()
	a.intercept(func(_ http.ResponseWriter, _ *http.Request, n int) bool {
		if n > 0 {
			together()
		}
		return false
	})
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { a.run("users import", a.dir+"/users.jsonl").want(t, 0, " 0 refused") })
	}
	both.Wait()
	a.file("all", lines(1, 300))
	a.run("users check", a.dir+"/all").want(t, 0, "300")
}

// Stream has one list of hooks, and nothing to lock it. Who reads it back after the other has
// written too learns that something is gone.
func TestOfTwoAppliesTheOneWhoseHookIsGoneLearnsOfIt(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i := range 2 {
		a.file(fmt.Sprintf("%d.yaml", i), fmt.Sprintf("hooks: [{hook_type: webhook, webhook_url: 'https://%d.example.com'}]", i))
	}
	write, readBack := pair(), pair()
	var writing atomic.Bool
	a.intercept(func(_ http.ResponseWriter, r *http.Request, n int) bool {
		switch {
		case r.Method == http.MethodPatch:
			write()
			writing.Store(true)
		case writing.Load():
			readBack()
		}
		return false
	})
	apply := func(i int) result {
		return a.tool.run(a.ctx, "", "apply", "-service-url", a.url, "-file", fmt.Sprintf("%s/%d.yaml", a.dir, i), "-yes")
	}
	var both sync.WaitGroup
	results := make([]result, 2)
	for i := range 2 {
		both.Go(func() { results[i] = apply(i) })
	}
	both.Wait()
	for i, r := range results {
		if r.status != 0 {
			r.want(t, 1, "or somebody else has changed meanwhile")
			apply(i).want(t, 0)
		}
	}
	if hooks := a.hooks(); len(hooks) != 2 || results[0].status+results[1].status != 1 {
		t.Errorf("want one of the two told, and both hooks after it applied again, got %v and %v", results, hooks)
	}
}

// Stream takes a name once. The second learns that it may be the other who has made it.
func TestOfTwoAppliesOfOneFileTheSecondSaysSo(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.file("stream.yaml", "roles: [support]")
	together := pair()
	a.intercept(func(_ http.ResponseWriter, r *http.Request, n int) bool {
		if r.Method == http.MethodPost {
			together()
		}
		return false
	})
	var both sync.WaitGroup
	results := make([]result, 2)
	for i := range 2 {
		both.Go(func() { results[i] = a.run("apply", "-yes") })
	}
	both.Wait()
	failed := 0
	for _, r := range results {
		if failed += r.status; r.status != 0 {
			r.want(t, 1, "Run plan: what it no longer shows, somebody else has made meanwhile")
		}
	}
	if a.run("plan").want(t, 0, "nothing to change"); failed != 1 {
		t.Errorf("want one of the two told, got %v", results)
	}
}
