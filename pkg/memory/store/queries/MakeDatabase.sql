CREATE DATABASE dubnium_memory OWNER "dubnium-memory" TEMPLATE template0 ENCODING 'UTF8'
