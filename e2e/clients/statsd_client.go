// A program with the DogStatsD client datadog-go as a distribution packages it. Prints as one JSON line what it sent;
// what a sample rate left out is not in it.
//
//	statsd_client ADDRESS ROUNDS [LINES]    in datagrams of so many lines
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"time"

	"github.com/DataDog/datadog-go/statsd"
)

type sample struct {
	Type  string      `json:"type"`
	Name  string      `json:"name"`
	Value interface{} `json:"value"`
	Tags  []string    `json:"tags"`
	Rate  float64     `json:"rate"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect() *statsd.Client {
	if len(os.Args) > 3 {
		lines, err := strconv.Atoi(os.Args[3])
		check(err)
		client, err := statsd.NewBuffered(os.Args[1], lines)
		check(err)
		return client
	}
	client, err := statsd.New(os.Args[1])
	check(err)
	return client
}

func main() {
	client := connect()
	client.Namespace = "go."
	client.Tags = []string{"region:north"}
	// A Unix socket takes ten datagrams at a time; after a millisecond the client would drop what does not fit.
	// UDP has no such time and says so.
	_ = client.SetWriteTimeout(10 * time.Second)
	rounds, err := strconv.Atoi(os.Args[2])
	check(err)
	samples := []sample{}
	note := func(kind, name string, value interface{}, tags []string, rate float64) {
		if tags == nil {
			tags = []string{}
		}
		samples = append(samples, sample{kind, "go." + name, value, tags, rate})
	}
	// The client draws from the same source: what it will draw is known.
	const seed = 7
	rand.Seed(seed)
	draws := rand.New(rand.NewSource(seed))
	for number := 0; number < rounds; number++ {
		shop := []string{fmt.Sprintf("shop:%d", number%3), "plain"}
		check(client.Incr("shop.orders", shop, 1))
		note("c", "shop.orders", 1, shop, 1)
		check(client.Count("shop.items", int64(number), nil, 1))
		note("c", "shop.items", number, nil, 1)
		check(client.Decr("shop.returns", nil, 1))
		note("c", "shop.returns", -1, nil, 1)
		check(client.Gauge("shop.stock", float64(number)*0.5, shop, 1))
		note("g", "shop.stock", float64(number)*0.5, shop, 1)
		check(client.Histogram("shop.basket", float64(number%100)+0.25, shop, 1))
		note("h", "shop.basket", float64(number%100)+0.25, shop, 1)
		check(client.Timing("shop.wait", time.Duration(number%50)*time.Millisecond, nil, 1))
		note("ms", "shop.wait", number%50, nil, 1)
		check(client.Distribution("shop.size", float64(number)*0.25-10, shop, 1))
		note("d", "shop.size", float64(number)*0.25-10, shop, 1)
		user := fmt.Sprintf("user-%d", number%17)
		check(client.Set("shop.users", user, nil, 1))
		note("s", "shop.users", user, nil, 1)
		const rate = 0.5
		check(client.Count("shop.clicks", 3, nil, rate))
		if draws.Float64() <= rate {
			note("c", "shop.clicks", 3, nil, rate)
		}
		check(client.Histogram("shop.hovers", 3, nil, rate))
		if draws.Float64() <= rate {
			note("h", "shop.hovers", 3, nil, rate)
		}
		check(client.Distribution("shop.scrolls", 3, nil, rate))
		if draws.Float64() <= rate {
			note("d", "shop.scrolls", 3, nil, rate)
		}
		if number%4 == 3 {
			time.Sleep(time.Millisecond)
		}
	}
	minuteAgo := time.Now().Add(-time.Minute)
	check(client.Event(&statsd.Event{
		Title: "Sold out: ünïcode", Text: "first line\nsecond | line", Timestamp: minuteAgo, Hostname: "till",
		AggregationKey: "sales", Priority: statsd.Low, SourceTypeName: "shop", AlertType: statsd.Warning,
		Tags: []string{"kind:sale"},
	}))
	check(client.SimpleEvent("Plain", "text"))
	check(client.ServiceCheck(&statsd.ServiceCheck{
		Name: "shop.open", Status: statsd.Ok, Message: "all: well", Tags: []string{"door:front"},
	}))
	check(client.ServiceCheck(&statsd.ServiceCheck{
		Name: "shop.till", Status: statsd.Critical, Timestamp: minuteAgo, Hostname: "till",
	}))
	check(client.Close())
	type object = map[string]interface{}
	at := minuteAgo.Unix()
	printed, err := json.Marshal(object{
		"samples": samples,
		"events": []object{
			{"title": "Sold out: ünïcode", "text": "first line\nsecond | line", "alert_type": "warning",
				"aggregation_key": "sales", "source_type_name": "shop", "priority": "low", "timestamp": at,
				"host": "till", "tags": []string{"kind:sale"}},
			{"title": "Plain", "text": "text", "tags": []string{}},
		},
		"checks": []object{
			{"check": "shop.open", "status": 0, "message": "all: well", "tags": []string{"door:front"}},
			{"check": "shop.till", "status": 2, "timestamp": at, "host_name": "till", "tags": []string{}},
		},
		"dropped": 0,
	})
	check(err)
	fmt.Println(string(printed))
}
