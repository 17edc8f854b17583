//! Behind a pooler that changes servers per transaction: everything works, with notifications off.
