-- ARGV: kind, detail as JSON.
tell(ARGV[1], ARGV[2])
keep_last()
return { 'told' }
