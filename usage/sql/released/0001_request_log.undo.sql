DROP TABLE usage_requestlog;
