-- A table like one month of the request log, with its indexes, its checks and nothing else.
CREATE TABLE copy_log (LIKE usage_requestlog INCLUDING ALL);
GRANT SELECT, INSERT ON copy_log TO tollbook_app;
