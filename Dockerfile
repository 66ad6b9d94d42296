FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /foremand ./cmd/foremand

# Nothing but the program, certificates and time zones, and no user but this one.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /foremand /foremand
USER 65532:65532
EXPOSE 8470
ENTRYPOINT ["/foremand"]
