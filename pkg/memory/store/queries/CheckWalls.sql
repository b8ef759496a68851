SELECT r.rolsuper, r.rolbypassrls, pg_has_role(c.relowner, 'MEMBER'), (SELECT max(version) FROM schema_migrations)
FROM pg_roles r, pg_class c
WHERE r.rolname = current_user AND c.oid = 'memories'::regclass
