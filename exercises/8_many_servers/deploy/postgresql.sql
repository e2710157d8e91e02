CREATE ROLE chat LOGIN;
CREATE DATABASE chat OWNER chat TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT ON DATABASE chat FROM PUBLIC;
-- PostgreSQL logs a statement that fails, and with it what somebody has said.
ALTER ROLE chat SET log_min_error_statement = 'panic';
ALTER ROLE chat SET log_error_verbosity = 'terse';
