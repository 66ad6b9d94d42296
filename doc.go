// Package foreman is a durable job queue in front of any slow backend.
package foreman
