CREATE ROLE dubnium_memory_owner LOGIN;
CREATE ROLE dubnium_memory LOGIN NOINHERIT;
CREATE ROLE dubnium_memory_upkeep NOLOGIN;
GRANT dubnium_memory_upkeep TO dubnium_memory;
CREATE DATABASE dubnium_memory OWNER dubnium_memory_owner TEMPLATE template0;
