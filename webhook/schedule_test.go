package webhook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

func TestDefaultSchedule(t *testing.T) {
	s := webhook.DefaultSchedule()
	var sum time.Duration
	for _, gap := range s {
		sum += gap
	}
	require.Len(t, s, 5)
	require.Equal(t, 7*time.Hour+35*time.Minute+5*time.Second, sum)

	s[0] = 0
	require.Equal(t, 5*time.Second, webhook.DefaultSchedule()[0], "a copy")
}

func TestScheduleNext(t *testing.T) {
	s := webhook.Schedule{10 * time.Second, time.Minute}
	low := func() float64 { return 0 }
	mid := func() float64 { return 0.5 }
	high := func() float64 { return 0.9999999999 }
	for name, c := range map[string]struct {
		attempt    int
		retryAfter time.Duration
		rnd        func() float64
		want       time.Duration
	}{
		"first gap":                        {1, 0, mid, 10 * time.Second},
		"second gap":                       {2, 0, mid, time.Minute},
		"attempt below 1":                  {0, 0, mid, 10 * time.Second},
		"least":                            {1, 0, low, 8 * time.Second},
		"most":                             {1, 0, high, 12 * time.Second},
		"Retry-After sooner than the gap":  {2, 5 * time.Second, mid, time.Minute},
		"Retry-After sooner than the most": {1, 11 * time.Second, high, 12 * time.Second},
		"Retry-After later than the gap":   {1, 90 * time.Second, mid, 90 * time.Second},
		"Retry-After is not made shorter":  {1, 90 * time.Second, low, 90 * time.Second},
		"Retry-After of a year":            {1, 365 * 24 * time.Hour, mid, 24 * time.Hour},
		"Retry-After in the past":          {1, -time.Hour, mid, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := s.Next(c.attempt, c.retryAfter, c.rnd)
			require.True(t, ok)
			require.InDelta(t, c.want, got, float64(time.Microsecond))
		})
	}
}

func TestScheduleNextEnds(t *testing.T) {
	for _, attempt := range []int{3, 4, 1 << 40} {
		delay, ok := webhook.Schedule{1, 1}.Next(attempt, time.Hour, nil)
		require.False(t, ok)
		require.Zero(t, delay)
	}
	_, ok := webhook.Schedule(nil).Next(1, 0, nil)
	require.False(t, ok)
}

func TestScheduleNextSpreads(t *testing.T) {
	s := webhook.Schedule{time.Hour}
	seen := make(map[time.Duration]bool)
	for range 1000 {
		delay, ok := s.Next(1, 0, nil)
		require.True(t, ok)
		require.GreaterOrEqual(t, delay, 48*time.Minute)
		require.LessOrEqual(t, delay, 72*time.Minute)
		seen[delay] = true
	}
	require.Greater(t, len(seen), 900)
}
