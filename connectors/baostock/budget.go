package baostock

import (
	"fmt"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/provider"
)

// limits are the configuration's for requests.
func (c *Config) limits() provider.Limits {
	return provider.Limits{
		Name: Name, PerSecond: c.RequestsPerSecond, PerDay: c.RequestsPerDay, Zone: exchangeZone,
		Store: c.Budgets, Now: c.Now, Banned: blacklisted,
	}
}

func blacklisted(until time.Time) error {
	return &connector.Error{
		Op: "ask " + Name, Class: connector.Permanent, Code: "baostock_blacklisted",
		Err: fmt.Errorf("this address is blacklisted (10001011); nothing is asked before %s",
			until.Format(time.RFC3339)),
		Hint: "use one process per address, and lower requests_per_second and requests_per_day",
	}
}
