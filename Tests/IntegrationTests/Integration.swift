import Testing

/// Tests that start real processes of the built executable, one test at a time.
@Suite(.serialized) enum Integration {}
