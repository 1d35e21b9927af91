"""Code written for Lightning, brought here: the edits that the word rule asks for, and what is not here.

It must not run any of that code, nor load torch: sources are read, ours too.
"""

from lit_studio.studio.migration.findings import Finding, Migrated
from lit_studio.studio.migration.sources import migrate, migrate_file
from lit_studio.studio.migration.writing import Written, write

__all__ = ["Finding", "Migrated", "Written", "migrate", "migrate_file", "write"]
