// Mocha would load tests by `require`, which gives tsx's second instance of every module that the code imports dynamically, with errors of
// other classes. Tests are ES modules, and are imported as such where Node is said not to require them.
Object.defineProperty(process.features, 'require_module', {value: false});
