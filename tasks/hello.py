"""The smallest task: `isolane schedule hello --parameters '{"name": "world"}' --wait`."""


def run(parameters):
    name = parameters.get("name", "world")
    print("hello", name)
    return {"greeted": name}
