// Go's client, which takes the proxy from the environment: the argument is a file; prints each answer.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func send(method, path string, body io.Reader, expects bool) {
	request, err := http.NewRequest(method, "http://web"+path, body)
	if err != nil {
		log.Fatal(err)
	}
	if expects {
		request.Header.Set("Expect", "100-continue")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}

func open() *os.File {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	return file
}

func main() {
	http.DefaultTransport.(*http.Transport).ExpectContinueTimeout = time.Minute
	send("GET", "/go/get", nil, false)
	send("GET", "/chunked", nil, false)
	send("POST", "/go/none", nil, false)
	send("PUT", "/go/stream", open(), false)
	send("POST", "/go/expects", bufio.NewReader(open()), true)
	upgrade()
}

// upgrade asks for it as kubectl exec does: by a POST, whose length Go says to be 0.
func upgrade() {
	request, err := http.NewRequest("POST", "http://web/chat", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode)
}
