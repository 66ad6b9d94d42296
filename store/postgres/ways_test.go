package postgres_test

import (
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/foreman-go/foreman/internal/pgtest"
	"github.com/foreman-go/foreman/store"
	"github.com/foreman-go/foreman/store/postgres"
)

// refuser is a server without TLS that takes nobody, for a reason.
func refuser(t *testing.T, code string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			refuse(conn, code)
		}
	}()
	return l.Addr().String()
}

func refuse(conn net.Conn, code string) {
	defer func() { _ = conn.Close() }()
	b := pgproto3.NewBackend(conn, conn)
	for {
		message, err := b.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, ok := message.(*pgproto3.SSLRequest); !ok {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "for a reason"})
			_ = b.Flush()
			return
		}
		if _, err := conn.Write([]byte("N")); err != nil {
			return
		}
	}
}

// What a server says counts, and not that it has no TLS, which was only tried.
func TestRefusals(t *testing.T) {
	for code, want := range map[string]error{
		"57P03": store.ErrUnavailable, // it is starting
		"53300": store.ErrUnavailable,
		"3D000": store.ErrInvalid,
		"28P01": store.ErrInvalid,
		"28000": store.ErrInvalid,
	} {
		_, err := postgres.Open(t.Context(), "postgres://foreman:hunter2@"+refuser(t, code)+"/nowhere", nil)
		require.ErrorIs(t, err, want, code)
		require.ErrorContains(t, err, `: cannot connect to database "nowhere" as "foreman": 127.0.0.1:`)
		require.ErrorContains(t, err, "FATAL: for a reason")
		require.NotContains(t, err.Error(), "TLS")
		require.NotContains(t, err.Error(), "\n")
		requireNoPassword(t, err)
	}
	_, err := postgres.Open(t.Context(), "postgres://foreman@"+refuser(t, "57P03")+"/x?sslmode=require", nil)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "server refused TLS connection")
}

// Each way has its say where no server has, and once.
func TestNobodyThere(t *testing.T) {
	_, err := postgres.Open(t.Context(), "postgres://foreman@127.0.0.1:1,127.0.0.1:2/x", nil)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.NotContains(t, err.Error(), "\n")
	for _, address := range []string{"127.0.0.1:1 ", "127.0.0.1:2 "} {
		require.Equal(t, 1, strings.Count(err.Error(), address), err)
	}
}

// A host that there is not says nothing of the other one, which may come.
func TestOneHostIsThere(t *testing.T) {
	server := pgtest.Start(t)
	_, address, _ := strings.Cut(strings.TrimSuffix(server.URL, "/postgres?sslmode=disable"), "@")
	server.Stop(t)
	at := "postgres://foreman@no-such-host.invalid," + address + "/postgres?sslmode=disable"
	_, err := postgres.Open(t.Context(), at, nil)
	require.ErrorIs(t, err, store.ErrUnavailable)
	server.Start(t)
	open(t, at, nil)
}
