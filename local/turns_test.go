package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnsComeInTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := make(turns, 1)
		end, err := all.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := make(chan int, 3)
		for i := range 3 {
			go func() {
				end, _ := all.take(t.Context())
				began <- i
				end()
			}()
			synctest.Wait()
		}
		if len(began) != 0 {
			t.Fatal("want nobody to begin while the turn is taken")
		}
		end()
		synctest.Wait()
		if order := []int{<-began, <-began, <-began}; !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("want the order of arrival, got %v", order)
		}
	})
}

func TestRequestThatWaitsForSomebodyElseKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := make(turns, 1)
		slow, _ := all.take(t.Context())
		start := time.Now()
		next, err := all.take(t.Context())
		if waited := time.Since(start); err != nil || waited != turnTime {
			t.Errorf("want the next turn after %s, got it after %s, %v", turnTime, waited, err)
		}
		// The end of a turn that is over already must not end another.
		slow()
		if len(all) != 1 {
			t.Error("want the second turn to go on")
		}
		next()
		if len(all) != 0 {
			t.Error("want no turn left")
		}
	})
}

func TestCallerWhoGoesAwayGetsNoTurn(t *testing.T) {
	all := make(turns, 1)
	end, _ := all.take(t.Context())
	defer end()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errIntegrationLimit)
	if _, err := all.take(ctx); !errors.Is(err, errIntegrationLimit) {
		t.Errorf("want the context's cause, got %v", err)
	}
}
