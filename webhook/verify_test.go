package webhook_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/webhook"
)

// The example in the specification of Standard Webhooks.
const (
	specSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	specID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	specTimestamp = "1614265330"
	specBody      = `{"test": 2432232314}`
	specSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var specTime = time.Unix(1614265330, 0)

func specHeader() http.Header {
	return http.Header{
		"Webhook-Id":        {specID},
		"Webhook-Timestamp": {specTimestamp},
		"Webhook-Signature": {specSignature},
	}
}

func newVerifier(t testing.TB, o webhook.VerifierOptions) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(o)
	require.NoError(t, err)
	return v
}

func TestVerifySpecification(t *testing.T) {
	v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
	require.NoError(t, v.VerifyAt(specTime, specHeader(), []byte(specBody)))
	require.ErrorIs(t, v.Verify(specHeader(), []byte(specBody)), webhook.ErrTimestamp, "that was in 2021")
}

func TestVerifySignatures(t *testing.T) {
	other := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		value string
		want  error
	}{
		"one":                            {specSignature, nil},
		"another before":                 {other + " " + specSignature, nil},
		"another behind":                 {specSignature + " " + other, nil},
		"versions of the future":         {"v1a,AAAA v2 " + specSignature + " v99,x", nil},
		"spaces":                         {"  " + specSignature + "  ", nil},
		"64":                             {strings.Repeat(other+" ", 63) + specSignature, nil},
		"65":                             {strings.Repeat(other+" ", 64) + specSignature, webhook.ErrNotSigned},
		"huge":                           {specSignature + " v1a," + strings.Repeat("A", 1<<20), webhook.ErrNotSigned},
		"many spaces":                    {strings.Repeat(" ", 8<<10) + specSignature, webhook.ErrNotSigned},
		"empty":                          {"", webhook.ErrSignature},
		"another":                        {other, webhook.ErrSignature},
		"without version":                {specSignature[3:], webhook.ErrSignature},
		"version alone":                  {"v1,", webhook.ErrSignature},
		"of another version":             {"v2" + specSignature[2:], webhook.ErrSignature},
		"capital version":                {"V1" + specSignature[2:], webhook.ErrSignature},
		"truncated":                      {specSignature[:len(specSignature)-4], webhook.ErrSignature},
		"without padding":                {strings.TrimRight(specSignature, "="), webhook.ErrSignature},
		"more padding":                   {specSignature + "=", webhook.ErrSignature},
		"other bits behind the last":     {strings.Replace(specSignature, "OE=", "OF=", 1), webhook.ErrSignature},
		"URL alphabet":                   {strings.NewReplacer("+", "-", "/", "_").Replace(specSignature), webhook.ErrSignature},
		"comma between":                  {other + "," + specSignature, webhook.ErrSignature},
		"tab between":                    {other + "\t" + specSignature, webhook.ErrSignature},
		"line break behind":              {specSignature + "\n", webhook.ErrSignature},
		"hex":                            {"v1," + strings.Repeat("0", 64), webhook.ErrSignature},
		"the other header's":             {webhook.Sign([]byte(specBody), specSecret), webhook.ErrSignature},
		"not UTF-8":                      {"v1,\xff\xfe", webhook.ErrSignature},
		"the secret itself, after all":   {specSecret, webhook.ErrSignature},
		"with the version given in full": {"v1," + specSignature, webhook.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
			h := specHeader()
			h.Set("webhook-signature", c.value)
			require.ErrorIs(t, v.VerifyAt(specTime, h, []byte(specBody)), c.want)
		})
	}
}

func TestVerifySecrets(t *testing.T) {
	for name, c := range map[string]struct {
		secrets []string
		want    error
	}{
		"the one":       {[]string{specSecret}, nil},
		"first":         {[]string{specSecret, "old"}, nil},
		"last":          {[]string{"new", "whsec_AAAA", specSecret}, nil},
		"another":       {[]string{"new"}, webhook.ErrSignature},
		"its text":      {[]string{specSecret[6:]}, webhook.ErrSignature},
		"its own bytes": {[]string{string(decode(t, specSecret[6:]))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, webhook.VerifierOptions{Secrets: c.secrets})
			require.ErrorIs(t, v.VerifyAt(specTime, specHeader(), []byte(specBody)), c.want)
		})
	}
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	return b
}

func TestVerifyBody(t *testing.T) {
	v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
	for name, body := range map[string]string{
		"a space more":     specBody + " ",
		"a byte less":      specBody[:len(specBody)-1],
		"one bit":          strings.Replace(specBody, "2432232314", "2432232315", 1),
		"reformatted":      `{"test":2432232314}`,
		"empty":            "",
		"part of the head": specTimestamp + "." + specBody,
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, v.VerifyAt(specTime, specHeader(), []byte(body)), webhook.ErrSignature)
		})
	}
}

func TestVerifyHeaders(t *testing.T) {
	v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
	for name, c := range map[string]struct {
		change func(h http.Header)
		want   error
	}{
		"none":                     {func(h http.Header) { clear(h) }, webhook.ErrNotSigned},
		"no id":                    {func(h http.Header) { h.Del("webhook-id") }, webhook.ErrNotSigned},
		"no timestamp":             {func(h http.Header) { h.Del("webhook-timestamp") }, webhook.ErrNotSigned},
		"no signature":             {func(h http.Header) { h.Del("webhook-signature") }, webhook.ErrNotSigned},
		"two ids":                  {func(h http.Header) { h.Add("webhook-id", "evil") }, webhook.ErrNotSigned},
		"the same id twice":        {func(h http.Header) { h.Add("webhook-id", specID) }, webhook.ErrNotSigned},
		"two timestamps":           {func(h http.Header) { h.Add("webhook-timestamp", specTimestamp) }, webhook.ErrNotSigned},
		"two signatures":           {func(h http.Header) { h.Add("webhook-signature", specSignature) }, webhook.ErrNotSigned},
		"empty id":                 {func(h http.Header) { h.Set("webhook-id", "") }, webhook.ErrNotSigned},
		"dot in the id":            {func(h http.Header) { h.Set("webhook-id", "a.b") }, webhook.ErrNotSigned},
		"long id":                  {func(h http.Header) { h.Set("webhook-id", strings.Repeat("a", 257)) }, webhook.ErrNotSigned},
		"space in the id":          {func(h http.Header) { h.Set("webhook-id", "a b") }, webhook.ErrNotSigned},
		"another id":               {func(h http.Header) { h.Set("webhook-id", specID+"x") }, webhook.ErrSignature},
		"another second":           {func(h http.Header) { h.Set("webhook-timestamp", "1614265331") }, webhook.ErrSignature},
		"zero before the second":   {func(h http.Header) { h.Set("webhook-timestamp", "0"+specTimestamp) }, webhook.ErrSignature},
		"empty timestamp":          {func(h http.Header) { h.Set("webhook-timestamp", "") }, webhook.ErrNotSigned},
		"plus":                     {func(h http.Header) { h.Set("webhook-timestamp", "+"+specTimestamp) }, webhook.ErrNotSigned},
		"minus":                    {func(h http.Header) { h.Set("webhook-timestamp", "-1") }, webhook.ErrNotSigned},
		"fraction":                 {func(h http.Header) { h.Set("webhook-timestamp", specTimestamp+".0") }, webhook.ErrNotSigned},
		"space":                    {func(h http.Header) { h.Set("webhook-timestamp", " "+specTimestamp) }, webhook.ErrNotSigned},
		"date":                     {func(h http.Header) { h.Set("webhook-timestamp", "2021-02-25T15:02:10Z") }, webhook.ErrNotSigned},
		"milliseconds":             {func(h http.Header) { h.Set("webhook-timestamp", specTimestamp+"000") }, webhook.ErrNotSigned},
		"more than 64 bits":        {func(h http.Header) { h.Set("webhook-timestamp", strings.Repeat("9", 30)) }, webhook.ErrNotSigned},
		"year 33658":               {func(h http.Header) { h.Set("webhook-timestamp", strings.Repeat("9", 12)) }, webhook.ErrTimestamp},
		"1970":                     {func(h http.Header) { h.Set("webhook-timestamp", "0") }, webhook.ErrTimestamp},
		"others are not looked at": {func(h http.Header) { h.Set("X-Foreman-Signature", "sha256=00") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := specHeader()
			c.change(h)
			require.ErrorIs(t, v.VerifyAt(specTime, h, []byte(specBody)), c.want)
		})
	}
}

func TestVerifyTolerance(t *testing.T) {
	for _, c := range []struct {
		tolerance, off time.Duration
		want           error
	}{
		{0, 5 * time.Minute, nil},
		{0, 301 * time.Second, webhook.ErrTimestamp},
		{0, 5*time.Minute + 1, webhook.ErrTimestamp},
		{0, -5 * time.Minute, nil},
		{0, -301 * time.Second, webhook.ErrTimestamp},
		{time.Second, time.Second, nil},
		{time.Second, 2 * time.Second, webhook.ErrTimestamp},
		{time.Hour, -time.Hour, nil},
		{1<<63 - 1, 290 * 365 * 24 * time.Hour, nil},
	} {
		v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}, Tolerance: c.tolerance})
		err := v.VerifyAt(specTime.Add(c.off), specHeader(), []byte(specBody))
		require.ErrorIs(t, err, c.want, "%v of %v", c.off, c.tolerance)
	}
}

// Verify goes by the clock: what it accepts today it refuses once it is stale.
func TestVerifyGoesByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := webhook.NewSender(&webhook.SenderOptions{Secret: specSecret})
		require.NoError(t, err)
		v := newVerifier(t, webhook.VerifierOptions{Secrets: []string{specSecret}})
		h := s.Headers("evt_1", []byte(specBody))
		require.NoError(t, v.Verify(h, []byte(specBody)))
		time.Sleep(5 * time.Minute)
		require.NoError(t, v.Verify(h, []byte(specBody)))
		time.Sleep(time.Second)
		require.ErrorIs(t, v.Verify(h, []byte(specBody)), webhook.ErrTimestamp)
		h = s.Headers("evt_1", []byte(specBody))
		require.NoError(t, v.Verify(h, []byte(specBody)), "the next attempt")
	})
}

func TestNewVerifierRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    webhook.VerifierOptions
		want string
	}{
		"no secret":          {webhook.VerifierOptions{}, "needs a secret"},
		"empty secret":       {webhook.VerifierOptions{Secrets: []string{"a", ""}}, "secret 2 is empty"},
		"not base64":         {webhook.VerifierOptions{Secrets: []string{"whsec_%"}}, "secret 1 starts with whsec_"},
		"line break":         {webhook.VerifierOptions{Secrets: []string{"whsec_AAAA\n"}}, "secret 1 has to be"},
		"negative tolerance": {webhook.VerifierOptions{Secrets: []string{"a"}, Tolerance: -1}, "Tolerance"},
		"negative bound":     {webhook.VerifierOptions{Secrets: []string{"a"}, MaxBody: -1}, "MaxBody"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewVerifier(c.o)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// Whatever the headers hold, only what the key signed is accepted, and the errors are
// the three that there are.
func FuzzVerify(f *testing.F) {
	add := func(change func(h http.Header)) {
		h := specHeader()
		change(h)
		f.Add(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), []byte(specBody))
	}
	add(func(http.Header) {})
	add(func(h http.Header) { h.Set("webhook-signature", "v1a,AAAA v1, "+specSignature) })
	add(func(h http.Header) { h.Set("webhook-id", "a.b") })
	add(func(h http.Header) { h.Set("webhook-timestamp", "+1614265330") })
	v, err := webhook.NewVerifier(webhook.VerifierOptions{Secrets: []string{"another", specSecret}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		before := maps.Clone(h)
		err := v.VerifyAt(specTime, h, body)
		require.Equal(t, before, h)

		want := "v1," + base64.StdEncoding.EncodeToString(sum(decode(t, specSecret[6:]), id+"."+timestamp+"."+string(body)))
		signed := slices.Contains(strings.Split(signature, " "), want)
		seconds, numberErr := strconv.ParseInt(timestamp, 10, 64)
		now := numberErr == nil && seconds >= specTime.Unix()-300 && seconds <= specTime.Unix()+300
		switch {
		case err == nil:
			require.True(t, signed && now && !strings.Contains(id, "."))
		case signed && now && id == specID && timestamp == strconv.FormatInt(seconds, 10) && len(signature) < 1000:
			require.LessOrEqual(t, 64, strings.Count(signature, " "), err)
		default:
			one := 0
			for _, kind := range []error{webhook.ErrNotSigned, webhook.ErrTimestamp, webhook.ErrSignature} {
				if errors.Is(err, kind) {
					one++
				}
			}
			require.Equal(t, 1, one, err)
		}
		// What is signed with the key is accepted, whatever the body is.
		h.Set("webhook-id", specID)
		h.Set("webhook-timestamp", specTimestamp)
		right := "v1," + base64.StdEncoding.EncodeToString(sum(decode(t, specSecret[6:]), specID+"."+specTimestamp+"."+string(body)))
		h.Set("webhook-signature", "v1,AAAA "+right)
		require.NoError(t, v.VerifyAt(specTime, h, body))
	})
}
