"""The database: models, migrations, engine, unit of work, the embedded server."""
