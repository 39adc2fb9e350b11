package spec

import "slices"

// Catalogue says which node types exist. The composition root makes one from the registry of
// connectors and the built-in operators.
type Catalogue interface {
	// Find returns the declaration of a node type.
	Find(kind NodeKind, name string) (Declaration, bool)
	// Names returns all types of a kind, sorted.
	Names(kind NodeKind) []string
}

// Declaration is what a document is checked against for one node type.
type Declaration struct {
	// Config is a pointer to a struct holding the defaults, with the tags of connector.Field.
	Config  any
	Summary string // one sentence
	// Ports names the outputs of a filled config; nil means one output without a name. A port
	// named "" may be read without naming it.
	Ports func(config any) []string
	// MaxInputs bounds the inputs; 0 means any number.
	MaxInputs int
}

// plannedTypes are node types of documents already in use whose connectors a binary may not have.
// They lint with a warning, not an error, and cannot run.
func plannedTypes(kind NodeKind) []string {
	both := []string{
		"activemq", "bigquery", "cassandra", "clickhouse", "cockroachdb", "delta", "duckdb",
		"elasticsearch", "firebird", "flight", "ftp", "gcs", "grpc", "iceberg", "influxdb", "kafka",
		"kinesis", "mongodb", "mqtt", "mssql", "nats", "opensearch", "oracle", "orc", "prometheus",
		"pubsub", "pulsar", "questdb", "rabbitmq", "redis", "redpanda", "redshift", "s3", "sftp",
		"snowflake", "sqlserver", "stomp", "tdengine", "victoriametrics", "websocket",
	}
	switch kind {
	case Source:
		both = append(both, "ldap", "postgres_cdc", "mysql_cdc", "mongodb_cdc")
	case Destination:
		both = append(both, "memcached")
	case Transformation:
		return []string{"aggregate", "join", "lookup", "mapping", "pivot", "sql", "window"}
	}
	slices.Sort(both)
	return both
}
