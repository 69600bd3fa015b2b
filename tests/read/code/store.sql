CREATE TABLE users (id INT, name TEXT);
create or replace view v as select 1;
CREATE FUNCTION add(a int, b int) RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql;
CREATE INDEX i ON users (id);
SELECT 1;
