# CSV without quotes -> rows whose fifth field is active -> NDJSON. Use with -F,
$5 == "active" {
	print "{\"customer_id\":" $1 ",\"symbol\":\"" $2 "\",\"name\":\"" $3 "\",\"region\":\"" $4 \
		"\",\"status\":\"" $5 "\",\"price\":" $6 ",\"qty\":" $7 ",\"amount\":" $8 \
		",\"updated_at\":\"" $9 "\",\"note\":\"" $10 "\"}"
}
