-- In UTF-8, whatever the server's own encoding and locale are, and with the private cluster's order of texts.
CREATE DATABASE dubnium_memory OWNER "dubnium-memory" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'
