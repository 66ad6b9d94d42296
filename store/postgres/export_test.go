package postgres

// Class is that of the advisory locks of a schema.
var Class = classOfSchema
