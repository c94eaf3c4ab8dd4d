-- More requests than sockets take, for the first customers: some twelve megabytes each as CSV.
INSERT INTO usage_requestlog (user_id, endpoint, path, method, status, credits, source, occurred_at)
SELECT customer, 'translate', '/' || repeat('x', 1000), 'GET', 200, 0, 'slow', now()
FROM generate_series(1, {customers}) customer, generate_series(1, {rows});
INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)
SELECT customer, (now() AT TIME ZONE 'UTC')::date, 'translate', {rows}, 0, 0, 0 FROM generate_series(1, {customers}) customer;
