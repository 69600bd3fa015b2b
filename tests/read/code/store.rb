module Store
  # A cache.
  class Cache < Base
    attr_reader :n
    def evict!(n)
      1
    end
    def self.build(x) = 1
    class << self
      def inner; end
    end
  end
end
