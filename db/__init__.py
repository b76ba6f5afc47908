"""Memory: tables, migrations, and the verbs of each table."""
